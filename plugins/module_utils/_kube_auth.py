# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Turn connection options into what one HTTP pool needs to reach a cluster.

The official ``kubernetes`` client reads kubeconfig files, service account files and exec plugins;
this module only decides which of them to ask, with the option names and order of ``kubernetes.core``.
This module is private to the collection.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import ssl
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

CLIENT_IMPORT_ERROR: str | None
try:
    import kubernetes.client
    import kubernetes.client.rest
    import kubernetes.config
    import urllib3
    import urllib3.util
    from urllib3.util.ssl_ import create_urllib3_context

    CLIENT_IMPORT_ERROR = None
except ImportError:
    CLIENT_IMPORT_ERROR = traceback.format_exc()

PROXY_HEADERS_SPEC: dict[str, dict[str, Any]] = {
    "proxy_basic_auth": {"type": "str", "no_log": True},
    "basic_auth": {"type": "str", "no_log": True},
    "user_agent": {"type": "str"},
}

AUTH_SPEC: dict[str, dict[str, Any]] = {
    "kubeconfig": {"type": "raw", "no_log": True},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"]},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {"type": "dict", "options": PROXY_HEADERS_SPEC},
    "persist_config": {"type": "bool"},
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
}

# the attribute of the client's Configuration that each option sets
CONFIGURATION_NAMES = {
    "host": "host",
    "validate_certs": "verify_ssl",
    "ca_cert": "ssl_ca_cert",
    "client_cert": "cert_file",
    "client_key": "key_file",
    "proxy": "proxy",
    "no_proxy": "no_proxy",
}

SECRET_KEYS = frozenset(
    ["token", "password", "client-key-data", "id-token", "access-token", "refresh-token", "client-secret"]
)


class AccessError(Exception):
    """The connection options do not lead to a usable client configuration."""


@dataclass
class Access:
    """Everything that is needed to talk to one cluster.

    ``configuration`` is a ``kubernetes.client.Configuration``; it renews expiring tokens by itself.
    ``secrets`` are credential texts that must not appear in any message.
    """

    configuration: Any
    description: str
    ssl_context: ssl.SSLContext | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    basic: bool = False
    secrets: list[str] = field(default_factory=list)


def auth_values(params: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the connection options that are set, options first, then ``K8S_AUTH_*`` variables."""
    values: dict[str, Any] = {}
    for name, spec in AUTH_SPEC.items():
        value = params.get(name)
        if name == "proxy_headers":
            value = value or _proxy_headers_from(environ)
            value = {key: text for key, text in value.items() if text is not None}
        elif value is None:
            value = _from_environment(name, spec, environ)
        if value not in (None, "", [], {}):
            values[name] = value
    return values


def _from_environment(name: str, spec: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    for candidate in (name, *spec.get("aliases", ())):
        text = environ.get(f"K8S_AUTH_{candidate.upper()}")
        if text:
            if spec["type"] == "bool":
                return text.lower() not in ("0", "false", "no")
            if spec["type"] == "list":
                return [item for item in text.split(",") if item]
            return text
    return None


def _proxy_headers_from(environ: Mapping[str, str]) -> dict[str, str | None]:
    return {key: environ.get(f"K8S_AUTH_PROXY_HEADERS_{key.upper()}") for key in PROXY_HEADERS_SPEC}


def load_access(params: Mapping[str, Any], environ: Mapping[str, str]) -> Access:
    """Load the client configuration and its TLS context.

    ``environ`` stands for the process environment, exec plugins included.
    Raises AccessError when there is no usable configuration.
    """
    values = auth_values(params, environ)
    secrets = [str(values[name]) for name in ("api_key", "password") if name in values]
    kubeconfig = _kubeconfig_value(values.get("kubeconfig"))
    secrets += list(_nested_secrets(kubeconfig)) if isinstance(kubeconfig, dict) else []
    with _environment(environ), _private_directory() as directory, _logged_errors() as logged:
        try:
            access = _configure(values, kubeconfig, environ, directory)
            if logged and not access.basic and "api_key" not in values:
                raise AccessError(f"the credentials of {access.description} cannot be used: {logged[0]}")
            # the client writes inline keys to files: read them now, the directory goes away
            access.ssl_context = _ssl_context(access.configuration)
        except AccessError:
            raise
        # the client library raises whatever its parser, YAML or an exec plugin stumbles over
        except Exception as error:
            text = mask(str(error) or type(error).__name__, secrets)
            raise AccessError(f"the cluster connection options cannot be used: {text}") from None
    access.secrets = secrets
    return access


def mask(text: str, secrets: list[str]) -> str:
    """Replace every secret in ``text``."""
    for secret in secrets:
        if len(secret) > 3:
            text = text.replace(secret, "(hidden)")
    return text


def _kubeconfig_value(value: Any) -> Any:
    # a kubeconfig given as a dict travels to a remote host as one opaque JSON text
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            raise AccessError("kubeconfig looks like JSON but cannot be parsed") from None
    return value


def _nested_secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in SECRET_KEYS and isinstance(item, str):
                yield item
            else:
                yield from _nested_secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nested_secrets(item)


def _configure(values: dict[str, Any], kubeconfig: Any, environ: Mapping[str, str], directory: str) -> Access:
    configuration = kubernetes.client.Configuration()
    source = _load_source(configuration, values, kubeconfig, environ, directory)
    for name, attribute in CONFIGURATION_NAMES.items():
        if name in values:
            setattr(configuration, attribute, values[name].rstrip("/") if name == "host" else values[name])
    if "proxy_headers" in values:
        configuration.proxy_headers = urllib3.util.make_headers(**values["proxy_headers"])
    if "api_key" in values:
        configuration.api_key = {"authorization": f"Bearer {values['api_key']}"}
        configuration.refresh_api_key_hook = None
    basic = "username" in values and "password" in values and "api_key" not in values
    if basic:
        configuration.username, configuration.password = values["username"], values["password"]
    headers = []
    if "impersonate_user" in values:
        headers.append(("Impersonate-User", values["impersonate_user"]))
    headers += [("Impersonate-Group", group) for group in values.get("impersonate_groups", ())]
    return Access(configuration, f"{configuration.host} ({source})", headers=headers, basic=basic)


def _load_source(
    configuration: Any, values: dict[str, Any], kubeconfig: Any, environ: Mapping[str, str], directory: str
) -> str:
    """Fill the configuration from the first source that applies and name that source."""
    complete = (("username", "password"), ("api_key",), ("client_cert", "client_key"))
    if "host" in values and any(all(name in values for name in names) for names in complete):
        return "task options"
    if kubeconfig is None and "context" not in values:
        try:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
            return "service account"
        except kubernetes.config.ConfigException:
            pass
    options = {
        "context": values.get("context"),
        "client_configuration": configuration,
        "persist_config": bool(values.get("persist_config")),
        "temp_file_path": directory,
    }
    suffix = f", context {values['context']}" if "context" in values else ""
    if isinstance(kubeconfig, dict):
        options.pop("persist_config")
        kubernetes.config.load_kube_config_from_dict(kubeconfig, **options)
        return f"kubeconfig given inline{suffix}"
    path = str(kubeconfig or environ.get("KUBECONFIG") or "~/.kube/config")
    try:
        kubernetes.config.load_kube_config(config_file=path, **options)
    except kubernetes.config.ConfigException as error:
        if "host" in values and kubeconfig is None and "context" not in values:
            return "task options, anonymous"
        raise AccessError(f"kubeconfig {path} cannot be used: {error}") from None
    return f"kubeconfig {path}{suffix}"


def _ssl_context(configuration: Any) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https"):
        return None
    required = ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE
    context: ssl.SSLContext = create_urllib3_context(cert_reqs=required)
    if getattr(configuration, "disable_strict_ssl_verification", False):
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if configuration.verify_ssl:
        inline = getattr(configuration, "ca_cert_data", None)
        if configuration.ssl_ca_cert or inline:
            context.load_verify_locations(cafile=configuration.ssl_ca_cert, cadata=inline)
        else:
            context.load_default_certs()
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


@contextlib.contextmanager
def _environment(environ: Mapping[str, str]) -> Iterator[None]:
    """Let the client library and its exec plugins see ``environ`` as the process environment."""
    saved = dict(os.environ)
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@contextlib.contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Collect what the client library logs as an error, a failed exec plugin for one, before it goes on as nobody."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collect(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def _private_directory() -> Iterator[str]:
    # workers end without exit handlers, so the client's own clean-up would leave keys behind
    directory = tempfile.mkdtemp(prefix="homeport-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def build_pool(access: Access, connections: int) -> Any:
    """Return one urllib3 pool manager that keeps ``connections`` connections alive."""
    configuration = access.configuration
    options: dict[str, Any] = {"maxsize": connections, "retries": False}
    if access.ssl_context is not None:
        options["ssl_context"] = access.ssl_context
        options["cert_reqs"] = "CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE"
        if configuration.assert_hostname is not None:
            options["assert_hostname"] = configuration.assert_hostname
        if getattr(configuration, "tls_server_name", None):
            options["server_hostname"] = configuration.tls_server_name
        if not configuration.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    proxy = configuration.proxy
    bypass = kubernetes.client.rest.should_bypass_proxies
    if not proxy or bypass(configuration.host, no_proxy=configuration.no_proxy or ""):
        return urllib3.PoolManager(**options)
    if proxy.split("://")[0].lower().startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(proxy, headers=configuration.proxy_headers, **options)
    return urllib3.ProxyManager(proxy, proxy_headers=configuration.proxy_headers, **options)


def authorization(access: Access) -> str | None:
    """Return the Authorization header of this moment; the client renews an expired token here."""
    configuration = access.configuration
    if access.basic:
        basic: str | None = configuration.get_basic_auth_token()
        return basic
    setting = configuration.auth_settings().get("BearerToken")
    return setting["value"] if setting else None
