"""The study's addresses."""

from django.urls import include, path

from occlumap.study.participants import views

urlpatterns = [
    path("", views.entry, name="entry"),
    path("study/", views.step, name="step"),
    path("study/step/<slug:name>/", views.step, name="submit"),
    path("study/withdraw/", views.withdraw, name="withdraw"),
    path("study/complete/", views.complete, name="complete"),
    path("study/instructions/<int:number>/", views.instructions, name="instructions"),
    path("stimuli/<path:name>", views.stimulus, name="stimulus"),
    path("favicon.ico", views.no_icon, name="no-icon"),
    path("colours.css", views.colours, name="colours"),
    path("researcher/coding/", include("occlumap.study.coding.urls")),
    path("researcher/", include("occlumap.study.dashboard.urls")),
]
handler400, handler404, handler500 = views.unreadable, views.not_found, views.failed
