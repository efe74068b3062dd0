package contracts

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
)

// LogText is a value as a log may show it: by fmt, whose verbs the identifiers answer masked. slog's JSON handler would
// encode a composite as JSON instead, and JSON is the wire, where identifiers are written in full; so every request and
// answer has a LogValue that returns LogText of itself.
func LogText(v any) slog.Value { return slog.StringValue(oneLine(fmt.Sprintf("%+v", v))) }

// MaskAttr is a slog.HandlerOptions.ReplaceAttr under which no composite (a slice, a map, a struct of somebody else's)
// reaches the JSON encoder: it is logged by LogText. Every handler that may hear of a person has it.
func MaskAttr(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	switch v := a.Value.Any().(type) {
	case *slog.Source, nil:
		return a
	case error:
		a.Value = slog.StringValue(oneLine(v.Error()))
	default: // marshalers included: their text is for the wire
		a.Value = LogText(v)
	}
	return a
}

// LogValue tells which operation was asked by whom, and nothing of whom it is about.
func (c *Call) LogValue() slog.Value {
	if c == nil || c.Op == nil {
		return slog.StringValue("call")
	}
	return slog.GroupValue(slog.String("op", c.Op.Name), slog.String("service", c.Caller.Service),
		slog.String("purpose", c.Caller.Purpose), slog.String("case", c.Caller.Case), slog.String("at", c.At))
}

// LogValue masks in logs.
func (s Subject) LogValue() slog.Value { return LogText(s) }

// LogValue masks in logs.
func (d DigitalDomicile) LogValue() slog.Value { return LogText(d) }

// String is the ticket without what it is about: its answer is JSON in full.
func (t Ticket) String() string { return fmt.Sprintf("ticket %s %s %s", t.ID, t.Op, t.State) }

// Format is String, with every verb.
func (t Ticket) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue is String.
func (t Ticket) LogValue() slog.Value { return slog.StringValue(t.String()) }

// String is the event without its data, which is JSON in full.
func (e Event) String() string { return fmt.Sprintf("event %s %s (ticket %s)", e.Kind, e.ID, e.Ref) }

// Format is String, with every verb.
func (e Event) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue is String.
func (e Event) LogValue() slog.Value { return slog.StringValue(e.String()) }

// oneLine makes a text fit a log line: joined errors come one to a line, and a peer's code may hold anything.
func oneLine(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	s = strings.ReplaceAll(s, "\n", "; ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
