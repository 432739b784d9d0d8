"""Addresses of the coding bench."""

from django.urls import path

from occlumap.study.coding import views

urlpatterns = [
    path("", views.bench, name="coding"),
    path("codebook/", views.book, name="codebook"),
    path("agreement/", views.agreement, name="agreement"),
    path("settle/", views.settle, name="settle"),
]
