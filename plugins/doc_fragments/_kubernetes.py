# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How to reach a cluster. Private: not for use outside homeport.registry."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the connection, with the names and environment variables of kubernetes.core."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, several paths separated by V(:), or the content as a dictionary.
      - A relative path is looked up like a file of the play or role. The file may be encrypted with Ansible Vault.
      - Without it, and without other connection options, a pod's service account is used, then the file in
        E(KUBECONFIG), then C(~/.kube/config).
      - Everything the official client reads works here, exec plugins and token files included.
        An exec plugin runs once for a task.
      - E(K8S_AUTH_KUBECONFIG) is the fallback.
    type: raw
  context:
    description:
      - Name of the context in the kubeconfig.
      - E(K8S_AUTH_CONTEXT) is the fallback.
    type: str
  host:
    description:
      - URL of the API server.
      - E(K8S_AUTH_HOST) is the fallback.
    type: str
  api_key:
    description:
      - Bearer token.
      - E(K8S_AUTH_API_KEY) is the fallback.
    type: str
  username:
    description:
      - User name for basic authentication, which only a proxy in front of the API server can offer today.
      - E(K8S_AUTH_USERNAME) is the fallback.
    type: str
  password:
    description:
      - Password for basic authentication.
      - E(K8S_AUTH_PASSWORD) is the fallback.
    type: str
  validate_certs:
    description:
      - Whether the certificate of the API server must be trusted.
      - E(K8S_AUTH_VERIFY_SSL) is the fallback.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - Path of the CA certificates that the API server's certificate is checked against.
      - E(K8S_AUTH_SSL_CA_CERT) is the fallback.
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - Path of a client certificate.
      - E(K8S_AUTH_CERT_FILE) is the fallback.
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key of O(client_cert).
      - E(K8S_AUTH_KEY_FILE) is the fallback.
    type: path
    aliases: [key_file]
  proxy:
    description:
      - URL of an HTTP or SOCKS proxy to the API server.
      - E(K8S_AUTH_PROXY) is the fallback.
    type: str
  no_proxy:
    description:
      - Hosts, domains and networks, separated by commas, that are reached without the proxy.
      - E(K8S_AUTH_NO_PROXY) is the fallback.
    type: str
  proxy_headers:
    description:
      - Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User name and password for the proxy, separated by a colon.
          - E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH) is the fallback.
        type: str
      basic_auth:
        description:
          - User name and password for a basic authentication header, separated by a colon.
          - E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH) is the fallback.
        type: str
      user_agent:
        description:
          - The user agent that the proxy sees.
          - E(K8S_AUTH_PROXY_HEADERS_USER_AGENT) is the fallback.
        type: str
  persist_config:
    description:
      - Whether a token that the client library has renewed is written back to the kubeconfig.
      - E(K8S_AUTH_PERSIST_CONFIG) is the fallback.
    type: bool
  impersonate_user:
    description:
      - User to act as.
      - E(K8S_AUTH_IMPERSONATE_USER) is the fallback.
    type: str
  impersonate_groups:
    description:
      - Groups to act as.
      - E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas, is the fallback.
    type: list
    elements: str
requirements:
  - kubernetes >= 29.0.0, the official Python client, where the task runs
notes:
  - Fallback variables are also taken from C(environment) of the task, block, role or play.
"""
