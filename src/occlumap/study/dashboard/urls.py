"""Addresses of the researcher's side."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from occlumap.study.dashboard import views
from occlumap.study.dashboard.two_factor import two_factor

urlpatterns = [
    path("", views.overview, name="overview"),
    path("login/", views.login, name="login"),
    path("logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("two-factor/", two_factor, name="two-factor"),
    path("pause/", views.pause, name="pause"),
    path("export.zip", views.export_archive, name="export"),
    path("bonuses.csv", views.bonus_file, name="bonuses"),
    path("preview/<str:heatmap>/<str:scores>/<str:step>/", views.preview, name="preview"),
]
