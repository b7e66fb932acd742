import json

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def home(request):
    return HttpResponse("Hello from Django")


def page(request, name):
    return render(request, "page.html", {"name": name})


@csrf_exempt
def echo(request):
    if request.content_type == "application/json":
        return JsonResponse({"json": json.loads(request.body)})
    return JsonResponse({"post": request.POST.dict(), "method": request.method}, status=201)


def stream(request):
    return StreamingHttpResponse((f"{number}," for number in range(5)), content_type="text/plain")


def broken(request):
    raise ValueError("broken view")


urlpatterns = [
    path("", home),
    path("page/<str:name>/", page),
    path("echo/", echo),
    path("stream/", stream),
    path("broken/", broken),
]
