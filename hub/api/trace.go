package api

import (
	"context"
	"strings"
)

type traceKey struct{}

// WithTrace puts a W3C traceparent in the context: the server does so with what it was sent, the client passes it on.
// One that is not well formed is left out.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	if !validTrace(traceparent) {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// TraceFrom gives the traceparent in the context, or nothing.
func TraceFrom(ctx context.Context) string {
	t, _ := ctx.Value(traceKey{}).(string)
	return t
}

// validTrace checks the form of version 00 (W3C Trace Context section 3.2.2), which later versions begin with.
func validTrace(s string) bool {
	parts := strings.Split(s, "-")
	if len(s) > 128 || len(parts) < 4 || parts[0] == "ff" || parts[0] == "00" && len(parts) != 4 {
		return false
	}
	for i, n := range [...]int{2, 32, 16, 2} {
		if len(parts[i]) != n || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return false
		}
	}
	for _, more := range parts[4:] {
		if strings.Trim(more, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return strings.Trim(parts[1], "0") != "" && strings.Trim(parts[2], "0") != ""
}
