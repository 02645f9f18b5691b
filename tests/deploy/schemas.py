"""Says what operators that are no part of Kubernetes take: the fields that the chart uses, closed against all others.

Prometheus operator: monitoring.coreos.com/v1 (prometheus-operator.dev, API reference).
KEDA: keda.sh/v1alpha1 and the scalers redis-streams, rabbitmq and nats-jetstream (keda.sh/docs, 2.8 and newer).
"""

import jsonschema


def record(required, optional=None):
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
FLAG = {"enum": ["true", "false"]}
COUNT = {"type": "integer", "minimum": 0}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
METADATA = record({"name": TEXT, "labels": {"type": "object", "additionalProperties": {"type": "string"}}})
SECRET_KEY = {"name": TEXT, "key": TEXT}


def scaler(kind, metadata):
    return record({"type": {"const": kind}, "metadata": metadata}, {"authenticationRef": record({"name": TEXT})})


SERVER = {"address": TEXT, "databaseIndex": NUMBER, "enableTLS": FLAG, "stream": TEXT}
TRIGGER = {
    "oneOf": [
        scaler("redis-streams", record({**SERVER, "streamLength": NUMBER})),
        scaler(
            "redis-streams", record({**SERVER, "consumerGroup": TEXT, "lagCount": NUMBER, "activationLagCount": NUMBER})
        ),
        scaler(
            "rabbitmq",
            record(
                {"protocol": {"const": "amqp"}, "queueName": TEXT, "mode": {"const": "QueueLength"}, "value": NUMBER}
            ),
        ),
        scaler(
            "nats-jetstream",
            record(
                {
                    "natsServerMonitoringEndpoint": TEXT,
                    "useHttps": FLAG,
                    "account": TEXT,
                    "stream": TEXT,
                    "consumer": TEXT,
                    "lagThreshold": NUMBER,
                }
            ),
        ),
    ]
}
RULE = {
    "oneOf": [
        record({"record": TEXT, "expr": TEXT}),
        record(
            {"alert": TEXT, "expr": TEXT, "labels": {"type": "object"}, "annotations": {"type": "object"}},
            {"for": DURATION},
        ),
    ]
}
ENDPOINT = record(
    {
        "port": TEXT,
        "path": TEXT,
        "interval": DURATION,
        "authorization": record({"type": {"const": "Bearer"}, "credentials": record(SECRET_KEY)}),
    }
)
SPECS = {
    "PodMonitor": record(
        {
            "selector": record({"matchLabels": {"type": "object"}}),
            "podMetricsEndpoints": {"type": "array", "items": ENDPOINT},
        }
    ),
    "PrometheusRule": record(
        {"groups": {"type": "array", "items": record({"name": TEXT, "rules": {"type": "array", "items": RULE}})}}
    ),
    "ScaledObject": record(
        {
            "scaleTargetRef": record({"name": TEXT}),
            "minReplicaCount": COUNT,
            "maxReplicaCount": COUNT,
            "pollingInterval": COUNT,
            "triggers": {"type": "array", "minItems": 1, "items": TRIGGER},
        }
    ),
    "TriggerAuthentication": record(
        {"secretTargetRef": {"type": "array", "minItems": 1, "items": record({"parameter": TEXT, **SECRET_KEY})}}
    ),
}
ADDED = {
    "monitoring.coreos.com/v1": ["PodMonitor", "PrometheusRule"],
    "keda.sh/v1alpha1": ["ScaledObject", "TriggerAuthentication"],
}


def check(found):
    """Fails where an object has what its operator would not take."""
    assert found["kind"] in ADDED[found["apiVersion"]]
    whole = record({"apiVersion": TEXT, "kind": TEXT, "metadata": METADATA, "spec": SPECS[found["kind"]]})
    jsonschema.validate(found, whole)
