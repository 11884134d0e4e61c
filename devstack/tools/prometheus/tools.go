//go:build tools

// Package tools pins Prometheus and promtool, apart from the others: they need different versions of what they share.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
