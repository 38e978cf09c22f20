from django.shortcuts import render
from django.urls import path

VERSION = "1"


def window(request):
    return render(request, "window.html", {"version": VERSION})


urlpatterns = [path("", window)]
