#!/bin/sh
# Promotes a version: makes it, waits until its files are verified, asks for it, and waits until it answers.
#
#   promote.sh FILE DEPLOYMENT NAMESPACE
#
# FILE holds one ModelVersion. INSPECTION_TIMEOUT and ROLLOUT_TIMEOUT bound the two waits.
# Exits with 0 promoted and verified, 1 failed, 2 timeout, 3 superseded,
# 4 waiting for a person to promote it, 5 usage or permission.
set -eu

if [ $# -ne 3 ]; then
  echo "usage: $0 FILE DEPLOYMENT NAMESPACE" >&2
  exit 5
fi
file=$1 deployment=$2 namespace=$3

# Answers modelversion.sluicegate.dev/NAME. Nothing is changed where the version is there already.
made=$(kubectl apply --namespace "$namespace" --filename "$file" --output name) || exit 5
version=${made#modelversion.sluicegate.dev/}

# What serves is touched only once the new version's files are known to be whole.
if ! kubectl wait --namespace "$namespace" "$made" --for condition=Ready \
    --timeout "${INSPECTION_TIMEOUT:-30m}"; then
  told='{range .status.conditions[?(@.type=="Ready")]}{.reason}: {.message}{"\n"}{end}'
  kubectl get --namespace "$namespace" "$made" --output "jsonpath=$told" >&2
  exit 1
fi

kubectl patch --namespace "$namespace" llmdeployment "$deployment" --type merge \
  --patch "{\"spec\": {\"modelVersion\": \"$version\"}}" || exit 5

exec kubectl sluice rollout wait "$deployment" --namespace "$namespace" --version "$version" \
  --timeout "${ROLLOUT_TIMEOUT:-40m}"
