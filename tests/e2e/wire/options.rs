//! What a user adds to `envoy/envoy.yaml` for a protocol that Envoy leaves off.

use serinus_tests::envoy::Edit;

/// Trailers over HTTP/1.1, and WebSocket over HTTP/2.
pub const DOWNSTREAM: Edit = (
    "                stat_prefix: models\n",
    "                stat_prefix: models
                http_protocol_options: { enable_trailers: true }
                http2_protocol_options: { allow_connect: true }
",
);

/// Servers are asked by the version by which the client asked: gRPC needs HTTP/2.
pub const SAME_VERSION: [Edit; 2] = [
    (
        "    - name: control\n",
        "    - name: control
      typed_extension_protocol_options: &same-version
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          use_downstream_protocol_config:
            http_protocol_options: { enable_trailers: true }
            http2_protocol_options: { allow_connect: true }
",
    ),
    (
        "    - name: canary\n",
        "    - name: canary
      typed_extension_protocol_options: *same-version
",
    ),
];

pub const ALL: [Edit; 3] = [DOWNSTREAM, SAME_VERSION[0], SAME_VERSION[1]];

/// The servers are asked before the client is told to go on.
pub const ASK_FIRST: Edit = (
    "                stat_prefix: models\n",
    "                stat_prefix: models
                proxy_100_continue: true
",
);

/// Answers may take as long as they like: a stream of tokens can take minutes.
pub const NO_TIMEOUT: [Edit; 2] = [
    (
        "cluster: canary\n                            timeout: 5s\n",
        "cluster: canary\n                            timeout: 0s\n",
    ),
    (
        "cluster: control\n                            timeout: 5s\n",
        "cluster: control\n                            timeout: 0s\n",
    ),
];

/// Both arms are tried three times.
pub const RETRIES: [Edit; 2] = [
    (
        "cluster: canary\n                            timeout: 5s\n",
        "cluster: canary\n                            timeout: 5s
                            retry_policy: { retry_on: \"5xx,reset\", num_retries: 2, retry_back_off: { base_interval: 0.001s } }
",
    ),
    (
        "cluster: control\n                            timeout: 5s\n",
        "cluster: control\n                            timeout: 5s
                            retry_policy: { retry_on: \"5xx,reset\", num_retries: 2, retry_back_off: { base_interval: 0.001s } }
",
    ),
];

/// Envoy answers by itself: a route, a filter after ours, and no route at all.
pub const LOCAL_REPLIES: [Edit; 3] = [
    (
        "                        # One route for each arm that is not the baseline.",
        "                        - match: { prefix: /direct/429 }
                          direct_response: { status: 429, body: { inline_string: later } }
                        - match: { prefix: /direct/503 }
                          direct_response: { status: 503 }
                        - match: { prefix: /redirect }
                          redirect: { path_redirect: /elsewhere }
                        - match: { prefix: /nowhere }
                          route: { cluster_header: x-no-such-header }
                        - match: { prefix: /limited }
                          route: { cluster: control }
                          typed_per_filter_config:
                            envoy.filters.http.local_ratelimit:
                              \"@type\": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
                              stat_prefix: limited
                              token_bucket: { max_tokens: 1, fill_interval: 3600s }
                              filter_enabled: { default_value: { numerator: 100 } }
                              filter_enforced: { default_value: { numerator: 100 } }
                        # One route for each arm that is not the baseline.",
    ),
    (
        "                  - name: envoy.filters.http.router\n",
        "                  - name: envoy.filters.http.local_ratelimit
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
                      stat_prefix: unlimited
                  - name: envoy.filters.http.router
",
    ),
    (
        "                    - name: models\n                      domains: [\"*\"]\n",
        "                    - name: nowhere
                      domains: [nowhere.example]
                      routes: []
                    - name: models
                      domains: [\"*\"]
",
    ),
];

/// Some meshes read little at a time, and would hold as little.
pub const SMALL_BUFFERS: Edit = (
    "    - name: models\n      address:\n",
    "    - name: models
      per_connection_buffer_limit_bytes: 32768
      address:
",
);
