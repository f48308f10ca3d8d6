# SPDX-License-Identifier: MIT
"""Settings of the shop. What differs between nodes comes from the environment; what belongs to a release, from files."""
import os
import pathlib

BASE_DIR = pathlib.Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "only-for-tests-and-demos")
DEBUG = False
# nginx passes the host on; which names are ours is its business.
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
INSTALLED_APPS = []
MIDDLEWARE = ["shop.middleware.release_headers", "django.middleware.common.CommonMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [BASE_DIR / "shop" / "templates"]}]
DATABASES = {}
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("SHOP_REDIS_URL", "redis://127.0.0.1:6379/0")
NODE_NAME = os.environ.get("NODE_NAME", "")

TEST_RUNNER = "shop.runner.Runner"
TEST_OUTPUT_DIR = "reports"
TEST_OUTPUT_FILE_NAME = "junit.xml"
