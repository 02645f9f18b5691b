"""What easy-cache keeps, and what Quash removes of it."""

VENV = "django5"
BACKENDS = ["django", "django_redis", "instance"]
SCENARIOS = []
