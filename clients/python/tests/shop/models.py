"""Holds the rows of the shop."""

from __future__ import annotations

import uuid

from django.db import models

from quash.django.querysets import QuashManager


class Country(models.Model):
    code = models.CharField(max_length=2)


class Author(models.Model):
    name = models.CharField(max_length=50)
    country = models.ForeignKey(Country, models.CASCADE, null=True)


class Tag(models.Model):
    slug = models.CharField(max_length=20)


class State(models.TextChoices):
    DRAFT = "draft"
    PUBLISHED = "published"


class Book(models.Model):
    title = models.CharField(max_length=50)
    author = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    published_at = models.DateTimeField(null=True)
    ident = models.UUIDField(default=uuid.uuid4)
    meta = models.JSONField(default=dict)
    cover = models.FileField(null=True, blank=True)
    stock = models.IntegerField(default=0)
    tags = models.ManyToManyField(Tag, related_name="books")

    objects = QuashManager()

    class Meta:
        base_manager_name = "objects"


class Special(Book):
    class Meta:
        proxy = True


class Novel(Book):
    pages = models.IntegerField(default=0)


class Note(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    text = models.TextField(default="")


class Person(models.Model):
    name = models.CharField(max_length=20)
    friends = models.ManyToManyField("self")
    best = models.ForeignKey("self", models.SET_NULL, null=True)


class Unseen(models.Model):
    text = models.TextField(default="")
