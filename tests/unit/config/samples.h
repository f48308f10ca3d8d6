// SPDX-License-Identifier: MIT
// Configuration files that the tests begin with.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/config/fault.h"

namespace baton::test {

using config::ConfigError;

/// The least that is an agent.yaml; more top-level keys may follow.
inline const std::string small_agent = R"(chain:
  nodes:
    - {name: web1, address: "10.0.0.11:7070"}
    - {name: web2, address: "10.0.0.12:7070"}
    - {name: web3, address: "10.0.0.13:7070"}
security:
  cluster_key_file: /etc/baton/cluster.key
)";

/// Every key of agent.yaml, none at its default.
inline const std::string full_agent = R"(state_dir: /srv/baton/${NODE_NAME}
executors: 3
build_priority: idle
public_url: https://baton.example.com
chain:
  nodes:
    - {name: web1, address: "10.0.0.11:7070"}
    - {name: web2, address: "[fd00::12]:7070"}
    - name: old
      address: "10.0.0.13:8080"
      jenkins:
        url: "https://jenkins.example.com"
        job: "${APP}"
        user: deploy
        token_file: /etc/baton/jenkins
        ca_file: /tls/jenkins-ca
        timeout: 20m
        accept_unstable: true
    - {name: judge, address: "judge.example.com:7070", role: witness}
security:
  cluster_key_file: /etc/baton/cluster.key
  tokens_file: /etc/baton/tokens
  anonymous: read
  tls: {certificate_file: /tls/cert, private_key_file: /tls/key, client_ca_file: /tls/client-ca, ca_file: /tls/ca}
traffic:
  method: haproxy_agent
  drain_timeout: 1m
  settle: 500ms
  rejoin_timeout: 45s
  cut: true
  agent_check_listen: "${NODE_ADDRESS}:7071"
  load_balancers: [10.0.0.5, "fd00::5"]
  acknowledged_polls: 3
  readiness_drain_status: 404
  haproxy_sockets: [/run/haproxy.sock, "10.0.0.1:9999"]
  haproxy_server: "shop/${NODE_NAME}"
  file: /run/baton/${APP}.out
  leave_command: |
    echo leave
    echo done
  rejoin_command: echo "rejoin"
  refuse_port: 80
  in_flight_port: 9000
  in_flight_host: ${NODE_ADDRESS}
apps:
  blog:
    repository: git@git.example.com:blog.git
  shop:
    repository: https://git.example.com/shop.git
    branch: release/2
    credentials: {username: deploy, password_file: /etc/baton/git, known_hosts_file: /etc/baton/hosts}
    pipeline: deploy/baton.yaml
    deploy_to: /srv/${APP}/${NODE_NAME}
    run_as: www-data
    triggers:
      poll_interval: 1m30s
      webhook_secret_file: [/etc/baton/hook1, /etc/baton/hook2]
      token_file: /etc/baton/shop.token
      quiet_period: 5s
    rollout:
      max_unavailable: 25%
      min_healthy: 1
      prepare_ahead: all
      canary: 2
      bake_time: 10m
      handoff_timeout: 1m
      max_unreachable: 0
      on_failure: rollback
      on_new_commit: queue
    traffic: {method: none}
    parameters:
      - {name: LEVEL, type: choice, choices: [low, high], description: "how much"}
      - {name: DRY, type: boolean, default_value: "false"}
    verify_commit: ssh
    allowed_signers_file: /etc/baton/signers
    wheels: /srv/wheels
    keep_releases: 7
    keep_builds: 70
    max_log_bytes: 1MiB
)";

/// Every key of baton.yaml.
inline const std::string full_pipeline = R"(prepare:
  - virtualenv: requirements.txt
    python: /usr/bin/python3.11
  - run: ./manage.py collectstatic --noinput
test:
  - name: unit tests
    run: |
      set -e
      ./manage.py test
    timeout: 10m
    env: {DEBUG: 0, LEVEL: "yes", EMPTY: ""}
    workdir: src
    junit: reports/*.xml
    min_tests: 10
migrate:
  - run: ./manage.py migrate --noinput
    once: true
switch:
  publish: symlink
  strategy: blue_green
  options:
    ports: [8001, 8002]
    front: http://${NODE_ADDRESS}:80/health
    upstream_file: upstream.conf
    upstream_template: "server 127.0.0.1:${PORT};"
    reload: nginx -s reload
  shared: [media, var/log]
  stop:
    - run: ./stop
  restart:
    - run: ./restart
      keep_processes: true
health:
  http: http://${NODE_ADDRESS}:${PORT}/health
  expect_status: 204
  expect_body: ${GIT_COMMIT}
  interval: 500ms
  timeout: 2s
  min_healthy_time: 3s
  healthy_deadline: 20s
  warm_up: ["http://${NODE_ADDRESS}:${PORT}/", "http://${NODE_ADDRESS}:${PORT}/list"]
artifacts: [dist/*.tar.gz]
)";

/// The report that `read` throws, or an empty text.
template <class Read>
std::string report_of(Read read) {
    try {
        static_cast<void>(read());
    } catch (const ConfigError& error) {
        return error.text();
    }
    return "";
}

}  // namespace baton::test
