# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choices of a store, and which of them are refused."""

from __future__ import annotations

import typing as t

S3: dict[str, t.Any] = {"registry_storage_driver": "s3", "registry_storage_s3_bucket": "images"}
KEYS = {"registry_storage_s3_access_key": "AK", "registry_storage_s3_secret_key": "SK"}
OWN = {**S3, **KEYS, "registry_storage_s3_endpoint": "https://s3.example.com:9000"}
AZURE = {
    "registry_storage_driver": "azure",
    "registry_storage_azure_account": "acme",
    "registry_storage_azure_container": "images",
}
GCS = {"registry_storage_driver": "gcs", "registry_storage_gcs_bucket": "images"}
HTTPS = {"registry_ingress_tls": "external"}

# By the name of a case: what is set, and words of the refusal, empty where nothing is wrong.
CASES: dict[str, tuple[dict[str, t.Any], str]] = {
    "default": ({}, ""),
    "one_node": ({"registry_server_replicas": 3, "registry_server_autoscale_max": 5}, ""),
    "one_pod": (
        {"registry_storage_access_mode": "ReadWriteOncePod"},
        "Use ReadWriteOnce: all pods then share one node",
    ),
    "many_writers_one_node": ({"registry_server_writer_replicas": 2}, "On ReadWriteOnce all pods share one node"),
    "growing_writers_one_node": (
        {"registry_server_writer_autoscale_max": 2},
        "On ReadWriteOnce all pods share one node",
    ),
    "many_nodes": (
        {
            "registry_storage_access_mode": "ReadWriteMany",
            "registry_server_replicas": 3,
            "registry_server_writer_replicas": 2,
        },
        "",
    ),
    "redirect_from_volume": ({"registry_storage_redirect": True}, "registry_storage_redirect is for object stores"),
    "forgotten_driver": (
        {"registry_storage_s3_bucket": "images"},
        "registry_storage_driver is filesystem, so the images",
    ),
    "amazon_keys": (
        {**S3, **KEYS, "registry_storage_s3_region": "eu-central-1", "registry_storage_redirect": True},
        "",
    ),
    "amazon_role": ({**S3, "registry_storage_service_account_annotations": {"eks.example/role": "arn"}}, ""),
    "own_server": ({**OWN, "registry_storage_ca": "PEM", "registry_storage_root": ""}, ""),
    "own_server_secret": (
        {**S3, "registry_storage_s3_endpoint": "http://minio:9000", "registry_storage_secret_name": "bucket"},
        "",
    ),
    "many_of_all": (
        {
            **OWN,
            "registry_server_writer_replicas": 2,
            "registry_server_autoscale_max": 6,
            "registry_server_writer_autoscale_max": 4,
        },
        "",
    ),
    "encrypted": (
        {
            **S3,
            **KEYS,
            "registry_storage_s3_encrypt": True,
            "registry_storage_s3_kms_key_id": "key",
            "registry_storage_s3_class": "STANDARD_IA",
            "registry_storage_s3_chunk_size": 20971520,
        },
        "",
    ),
    "azure_key": ({**AZURE, "registry_storage_azure_key": "KEY"}, ""),
    "azure_identity": (AZURE, ""),
    "gcs_key": ({**GCS, "registry_storage_gcs_key": '{"type": "service_account"}'}, ""),
    "gcs_identity": (GCS, ""),
    "no_bucket": ({"registry_storage_driver": "s3"}, "needs registry_storage_s3_bucket"),
    "no_container": ({"registry_storage_driver": "azure"}, "needs registry_storage_azure_account and"),
    "no_gcs_bucket": ({"registry_storage_driver": "gcs"}, "needs registry_storage_gcs_bucket"),
    "claim": ({**OWN, "registry_storage_claim": "nfs"}, "uses no volume, but one is named (nfs)"),
    "server_claim": ({**OWN, "registry_server_claim": "nfs"}, "uses no volume, but one is named (nfs)"),
    "half_a_key": ({**S3, "registry_storage_s3_access_key": "AK"}, "belong together, and one of them is missing"),
    "two_origins": ({**OWN, "registry_storage_secret_name": "bucket"}, "by registry_storage_secret_name or as values"),
    "path": ({**OWN, "registry_storage_s3_endpoint": "https://s3.example.com/images"}, "without the bucket, a path"),
    "no_scheme": ({**OWN, "registry_storage_s3_endpoint": "s3.example.com"}, "must be a scheme, a host name"),
    "no_region": ({**OWN, "registry_storage_s3_region": ""}, "registry_storage_s3_region is empty"),
    "host_style": (
        {**OWN, "registry_storage_s3_endpoint": "http://minio:9000", "registry_storage_s3_path_style": False},
        "becomes a part of the host name",
    ),
    "small_parts": ({**OWN, "registry_storage_s3_chunk_size": 1048576}, "goes from 5242880 to 5368709120"),
    "key_of_nothing": ({**OWN, "registry_storage_s3_kms_key_id": "key"}, "registry_storage_s3_encrypt is false"),
    "root": ({**OWN, "registry_storage_root": "/images/"}, "without a slash at its beginning or end"),
    "into_the_clear": (
        {**OWN, **HTTPS, "registry_storage_s3_endpoint": "http://s3.example.com", "registry_storage_redirect": True},
        "would send them on to http://s3.example.com in the clear",
    ),
    "passed_on": ({**OWN, **HTTPS, "registry_storage_s3_endpoint": "http://s3.example.com"}, ""),
    "cache": (
        {**OWN, "registry_cache_upstream": "https://registry.example.org"},
        "A cache needs registry_storage_driver filesystem",
    ),
    "two_stores": (
        {**OWN, "registry_server_config": {"storage": {"filesystem": {"rootdirectory": "/x"}}}},
        "may not name another store than registry_storage_driver s3",
    ),
    "hidden_redirect": (
        {**OWN, "registry_server_config": {"storage": {"redirect": {"disable": False}}}},
        "nor set storage.redirect",
    ),
    "more_of_the_same": ({**OWN, "registry_server_config": {"storage": {"s3": {"accelerate": True}}}}, ""),
    "no_writer": ({**OWN, "registry_server_writer_replicas": 0}, "at least one writer pod is needed"),
    "less_than_least": ({**OWN, "registry_server_replicas": 3, "registry_server_autoscale_max": 2}, "cannot be below"),
    "nothing_requested": (
        {**OWN, "registry_server_autoscale_max": 4, "registry_server_resources": {"limits": {"memory": "512Mi"}}},
        "set requests.cpu",
    ),
}
