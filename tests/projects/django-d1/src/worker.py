import os

from django_cf import DjangoCF, DjangoCFDurableObject
from workers import DurableObject, WorkerEntrypoint

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "app.settings")


class Site(DjangoCFDurableObject, DurableObject):
    def get_app(self):
        from app.wsgi import application

        return application


class Default(DjangoCF, WorkerEntrypoint):
    def get_app(self):
        from app.wsgi import application

        return application

    async def fetch(self, request):
        if request.url.endswith("?in=object"):
            return await self.env.SITE.getByName("site").fetch(request)
        return await super().fetch(request)
