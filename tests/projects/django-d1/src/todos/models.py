from django.db import models


class Person(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Todo(models.Model):
    title = models.CharField(max_length=200)
    done = models.BooleanField(default=False)
    due = models.DateTimeField(null=True, blank=True)
    cost = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    more = models.JSONField(default=dict)
    owner = models.ForeignKey(Person, null=True, on_delete=models.CASCADE)
