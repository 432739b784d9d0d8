"""Addresses of the coding bench."""

from django.urls import path

from occlumap.study.coding import views

urlpatterns = [
    path("", views.bench, name="coding"),
    path("answer/<int:number>/", views.bench, name="code"),
    path("codebook/", views.book, name="codebook"),
    path("agreement/", views.agreement, name="agreement"),
    path("history/", views.history, name="history"),
    path("exchange/", views.exchange, name="exchange"),
    path("exchange/codebook.qdc", views.codebook_file, name="codebook-file"),
    path("exchange/project.qdpx", views.project_file, name="project-file"),
    path("include/", views.include, name="include"),
    path("settle/", views.settle),
    path("settle/<int:number>/", views.settle, name="settle"),
]
