//go:build tools

// Package tools pins etcd, apart from Kubernetes: the two need different versions of what they share.
package tools

import _ "go.etcd.io/etcd/server/v3"
