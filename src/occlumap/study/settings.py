"""Django's settings for a study; what differs comes from the environment, which `occlumap study` sets.

OCCLUMAP_STUDY_CONFIG: the configuration's path. OCCLUMAP_STUDY_DATABASE: the path of an SQLite file, or
postgresql://user:password@host:port/name. OCCLUMAP_STUDY_SECRET: the key that signs sessions. OCCLUMAP_STUDY_HOSTS:
names
under which it is served, with commas. OCCLUMAP_STUDY_HTTPS: "1" behind TLS (the default), "0" on this machine only.
OCCLUMAP_STUDY_PROXIES: how many proxies stand in front and write X-Forwarded-For (0). OCCLUMAP_STUDY_TWO_FACTOR:
"required" or "optional" for researchers (required behind TLS).
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from occlumap.errors import ArgumentError

_EXPECTED = (
    "expected the study's database in OCCLUMAP_STUDY_DATABASE as postgresql://user:password@host:port/name, or the "
    "path of an SQLite file"
)


def _database(address: str) -> dict[str, object]:
    if not address.startswith(("postgres://", "postgresql://")):
        if "://" in address:
            raise ArgumentError(f"{_EXPECTED}, got one that begins with {address.partition('://')[0]}://")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": address,
            # a write waits for its turn; IMMEDIATE takes the lock at the start, so a transaction is never torn in two
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
            },
        }
    try:
        parts = urlsplit(address)
        port, name = parts.port, unquote(parts.path.lstrip("/"))
    except ValueError as error:
        raise ArgumentError(f"{_EXPECTED}, got one whose host or port cannot be read") from error
    if not name:
        raise ArgumentError(f"{_EXPECTED}, got one without a name at its end")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(port or ""),
        # a connection that died with a restarted database is made anew, not given to somebody
        "CONN_HEALTH_CHECKS": True,
        # as many connections as threads, so nobody waits for one but while the database is away: then not for long, or
        # all threads would wait, and nobody would be told
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 8, "timeout": 2}},
    }


STUDY_CONFIG = Path(os.environ.get("OCCLUMAP_STUDY_CONFIG", "study.yaml"))
SECRET_KEY = os.environ.get("OCCLUMAP_STUDY_SECRET", "")
if len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5:  # as `check --deploy` of Django wants it
    raise ArgumentError(
        "expected a secret of 50 characters or more, 5 of them different, in OCCLUMAP_STUDY_SECRET, got less or none; "
        "a new one: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
    )
HTTPS = os.environ.get("OCCLUMAP_STUDY_HTTPS", "1") == "1"
_PROXIES = os.environ.get("OCCLUMAP_STUDY_PROXIES", "0")
if not _PROXIES.isdecimal():
    raise ArgumentError(f"expected the number of trusted proxies in OCCLUMAP_STUDY_PROXIES, got {_PROXIES!r}")
TRUSTED_PROXIES = int(_PROXIES)
_TWO_FACTOR = os.environ.get("OCCLUMAP_STUDY_TWO_FACTOR") or ("required" if HTTPS else "optional")
if _TWO_FACTOR not in ("required", "optional"):
    raise ArgumentError(f"expected required or optional in OCCLUMAP_STUDY_TWO_FACTOR, got {_TWO_FACTOR!r}")
TWO_FACTOR_REQUIRED = _TWO_FACTOR == "required"
DEBUG = False
ALLOWED_HOSTS = [
    host for host in os.environ.get("OCCLUMAP_STUDY_HOSTS", "127.0.0.1,localhost").split(",") if host
]
if not os.environ.get("OCCLUMAP_STUDY_DATABASE"):
    raise ArgumentError("expected the study's database in OCCLUMAP_STUDY_DATABASE, got none")
DATABASES = {"default": _database(os.environ["OCCLUMAP_STUDY_DATABASE"])}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "occlumap.study.participants",
    "occlumap.study.dashboard",
    "occlumap.study.coding",
]
MIDDLEWARE = [
    "occlumap.study.health.Health",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "occlumap.study.headers.Headers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
ROOT_URLCONF = "occlumap.study.urls"
WSGI_APPLICATION = "occlumap.study.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
CSRF_FAILURE_VIEW = "occlumap.study.participants.views.csrf_failure"
LOGIN_URL = "/researcher/login/"
OTP_TOTP_ISSUER = "occlumap study"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}}
]
SESSION_COOKIE_AGE = 30 * 24 * 3600  # longer than a study: an expired session must not lose a participant
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# no-referrer would make browsers send "Origin: null" with forms, which the check against forgery refuses
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"brief": {"()": "occlumap.study.brief_log.Brief"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["brief"]}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    # addresses of entry pages hold participants' ids, and go into no log
    "loggers": {
        "django.server": {"handlers": [], "propagate": False},
        "django.request": {"level": "ERROR"},
        "psycopg.pool": {"level": "ERROR"},  # each try to connect; that the database is away, requests say
    },
}
