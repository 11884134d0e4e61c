//go:build tools

// Package tools pins Jaeger, apart from the others: it needs different versions of what they share.
package tools

import (
	_ "github.com/jaegertracing/jaeger/cmd/jaeger"
)
