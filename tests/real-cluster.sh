#!/usr/bin/env bash
# Kubernetes' own network conformance tests on a real Kubernetes of stock kubelets, with portolan agent (or, to compare,
# kube-proxy) on each node. As root; everything happens in network namespaces "$LAB" and "$LAB"-n1, -n2, …
#
# usage: tests/real-cluster.sh [run|up|down]     run: up, the tests, down. up: the cluster stays, kubeconfig: $DIR/kc
# env:   REALCLUSTER   a program that makes such a cluster: `up DIR NODES`, `dns DIR`, `proxy DIR MODE`, `down DIR`; it
#                      writes DIR/kc and names its namespaces by $LAB
#        CONFORMANCE   a program that runs the tests against a kubeconfig: `CONFORMANCE DIR/kc`
#        PROXY         portolan (default), nftables or iptables: who keeps the rules
#        DNS           portolan or coredns (default): who answers DNS beside the control plane
#        AGENT_FLAGS   further flags of the agent, such as --dns, which answers on each node
#        PORTOLAN      the binary; default: target/release/portolan
#        NODES (3), DIR (a temporary folder), LAB (real), PORTOLAN_PEERS and IMAGES as those two programs want them
set -euo pipefail
cd "$(dirname "$0")/.."
: "${REALCLUSTER:?a program that makes a cluster; see the head of this file}"
export LAB=${LAB:-real}
PROXY=${PROXY:-portolan} DNS=${DNS:-coredns} NODES=${NODES:-3}
PORTOLAN=$(realpath "${PORTOLAN:-${CARGO_TARGET_DIR:-target}/release/portolan}")
[ -x "$PORTOLAN" ] || { echo "$PORTOLAN is not there; build it, or name it in PORTOLAN" >&2; exit 2; }
temporary=
if [ -z "${DIR:-}" ]; then DIR=$(mktemp -d); temporary=1; fi
mkdir -p "$DIR"; DIR=$(realpath "$DIR")

agent() { # agent I: on node I, with a host name of its own; its log is DIR/agentI.log
  nsenter --net="/var/run/netns/$LAB-n$1" unshare --uts sh -c 'hostname "$0"; exec "$@"' "n$1" \
    "$PORTOLAN" --log info agent --kubeconfig "$DIR/kc" --node-name "n$1" ${AGENT_FLAGS:-} > "$DIR/agent$1.log" 2>&1 &
  echo $! > "$DIR/agent$1.pid"
}

dns() { # in CoreDNS' place, by a Corefile such as CoreDNS has; its log is DIR/portolan-dns.log
  cat > "$DIR/Corefile.portolan" <<C
.:53 {
  bind 192.168.77.1
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $DIR/kc
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 30
  }
  cache 30
  loadbalance
}
C
  ip netns exec "$LAB" "$PORTOLAN" --log info dns --corefile "$DIR/Corefile.portolan" > "$DIR/portolan-dns.log" 2>&1 &
  echo $! > "$DIR/portolan-dns.pid"
  local ports='[{"name":"dns","port":53,"protocol":"UDP"},{"name":"dns-tcp","port":53,"protocol":"TCP"}]'
  ip netns exec "$LAB" kubectl --kubeconfig "$DIR/kc" apply -f - <<K
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {clusterIP: 10.96.0.10, ports: $ports}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-portolan, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [192.168.77.1], conditions: {ready: true}}]
ports: $ports
K
}

up() {
  "$REALCLUSTER" up "$DIR" "$NODES"
  if [ "$PROXY" = portolan ]; then
    for i in $(seq "$NODES"); do agent "$i"; done
  else
    "$REALCLUSTER" proxy "$DIR" "$PROXY"
  fi
  if [ "$DNS" = portolan ]; then dns; else "$REALCLUSTER" dns "$DIR"; fi
  # In step when the API server answers through its Service on every node.
  for i in $(seq "$NODES"); do
    timeout 60 sh -c "until ip netns exec $LAB-n$i curl -sk -o /dev/null -m 2 https://10.96.0.1/; do sleep 0.2; done"
  done
}

down() {
  for file in "$DIR"/agent*.pid "$DIR"/portolan-dns.pid; do
    [ -e "$file" ] || continue
    kill "$(cat "$file")" 2> /dev/null || echo "the process of ${file##*/} had ended; its log is beside it" >&2
    rm -f "$file"
  done
  "$REALCLUSTER" down "$DIR"
  if [ -n "$temporary" ]; then rm -rf "$DIR"; fi
}

case ${1:-run} in
up) temporary=; up; echo "KUBECONFIG=$DIR/kc, from inside ip netns exec $LAB; ends with DIR=$DIR $0 down" ;;
down) down ;;
run)
  : "${CONFORMANCE:?a program that runs the tests; see the head of this file}"
  trap down EXIT
  up
  ip netns exec "$LAB" "$CONFORMANCE" "$DIR/kc" ;;
*) sed -n '2,14p' "$0" >&2; exit 2 ;;
esac
