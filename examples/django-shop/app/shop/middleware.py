# SPDX-License-Identifier: MIT
"""Every answer says which release on which node gave it."""
from django.conf import settings

from shop import release


def release_headers(get_response):
    def answer(request):
        response = get_response(request)
        response["X-Version"] = release.COMMIT
        response["X-Node"] = settings.NODE_NAME
        return response

    return answer
