"""The WSGI application: gunicorn occlumap.study.wsgi:application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "occlumap.study.settings")
application = get_wsgi_application()
