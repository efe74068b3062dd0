package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub/api"
)

type callCmd struct {
	Operation string        `arg:"" help:"Operation, such as domicile.lookup."`
	URL       string        `name:"url" required:"" env:"RACCORDO_URL" help:"Where the hub serves."`
	TokenFile string        `required:"" env:"RACCORDO_TOKEN_FILE" help:"File that holds the bearer token."`
	Purpose   string        `required:"" help:"Purpose of the call."`
	Case      string        `help:"The case it is for, as the core numbers it."`
	Key       string        `help:"Idempotency key; required unless the operation only reads."`
	At        string        `help:"Insist on one adapter instance."`
	Wait      time.Duration `default:"30s" help:"How long to wait for the answer; then the error names the ticket, and the exit status is 4."`
}

// maxRequest is the most that is read of a request.
const maxRequest = 32 << 20

func (c callCmd) Run(s *session) error {
	token, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return err
	}
	client, err := api.NewClient(api.ClientConfig{URL: c.URL, Token: strings.TrimSpace(string(token))})
	if err != nil {
		return err
	}
	defer client.Close()
	body, err := io.ReadAll(io.LimitReader(s.in, maxRequest))
	if err != nil {
		return err
	}
	if !json.Valid(body) {
		return contracts.Errorf(contracts.Invalid, "call: the request on standard input is not JSON")
	}
	// The client needs no more of an operation than its name: request and answer pass through as they are.
	op := &contracts.OpInfo{Name: c.Operation, Effect: contracts.Read, Response: func(b []byte) (any, error) { return json.RawMessage(b), nil }}
	if c.Key != "" {
		op.Effect = contracts.Once // whatever it is, the client must not repeat it by itself
	}
	ctx, cancel := context.WithTimeout(s.ctx, c.Wait)
	defer cancel()
	out, err := client.Run(ctx, &contracts.Call{
		Op: op, Request: json.RawMessage(body), Key: c.Key, At: c.At,
		Caller: contracts.Caller{Purpose: c.Purpose, Case: c.Case, User: whoever("")},
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s\n", out)
	return err
}
