import json

from django.contrib.auth import authenticate, login
from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404

from .models import Person, Todo


def _shown(todo):
    return {
        "id": todo.id,
        "title": todo.title,
        "done": todo.done,
        "due": todo.due.isoformat() if todo.due else None,
        "cost": str(todo.cost),
        "more": todo.more,
        "owner": todo.owner.name if todo.owner else None,
    }


def todos(request):
    rows = Todo.objects.using("object" if "in" in request.GET else "default")
    if request.method == "POST":
        given = json.loads(request.body)
        if name := given.pop("owner", None):
            given["owner"], _ = Person.objects.using(rows.db).get_or_create(name=name)
        made = rows.create(**given)
        made.refresh_from_db()
        return JsonResponse(_shown(made), status=201)
    found = rows.select_related("owner").order_by("title")
    return JsonResponse({"count": found.count(), "todos": [_shown(row) for row in found]})


def todo(request, number):
    found = get_object_or_404(Todo, pk=number)
    if request.method == "DELETE":
        found.delete()
        return HttpResponse(status=204)
    if request.method == "PUT":
        Todo.objects.filter(pk=number).update(**json.loads(request.body))
        found.refresh_from_db()
    return JsonResponse(_shown(found))


def sign_in(request):
    user = authenticate(request, username="admin", password=request.GET.get("password"))
    if user is None:
        return HttpResponse("no", status=403)
    login(request, user)
    return HttpResponse(user.get_username())


def broken(request):
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1 FROM nowhere")
