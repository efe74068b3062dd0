package entrate

import (
	"context"

	"raccordo/contracts"
	"raccordo/contracts/tax"
)

// codes is the fiscal-code check.
type codes struct{ *gateway }

func openCodes(ctx context.Context, cfg REST, env contracts.Env) (*codes, error) {
	g, err := openGateway(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return &codes{g}, nil
}

func (c *codes) bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(tax.OpCode, c.CheckCode)}
}

// CheckCode says whether a codice fiscale is in use.
func (c *codes) CheckCode(ctx context.Context, _ tax.CodeQuery) (tax.CodeCheck, error) {
	return tax.CodeCheck{}, c.wire.Fail(ctx, contracts.Errorf(contracts.Internal, "not spoken yet"))
}
