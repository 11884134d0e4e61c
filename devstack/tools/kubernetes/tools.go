//go:build tools

// Package tools pins the Kubernetes programs that devstack builds and runs.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
