from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.http import JsonResponse
from django.urls import path
from todos import views


def _database(request):
    return "object" if "in" in request.GET else "default"


def run_migrations(request):
    call_command("migrate", database=_database(request), verbosity=0)
    return JsonResponse({"status": "success"})


def create_admin(request):
    users = get_user_model().objects
    if users.filter(username="admin").exists():
        return JsonResponse({"status": "info"})
    users.create_superuser("admin", "admin@example.com", "password")
    return JsonResponse({"status": "success"})


urlpatterns = [
    path("__run_migrations__/", run_migrations),
    path("__create_admin__/", create_admin),
    path("", views.todos),
    path("login/", views.sign_in),
    path("<int:number>/", views.todo),
    path("broken/", views.broken),
]
