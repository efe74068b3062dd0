package entrate

import (
	"context"

	"raccordo/contracts"
	"raccordo/contracts/tax"
)

// numbers is the VAT-number check.
type numbers struct{ *gateway }

func openNumbers(ctx context.Context, cfg REST, env contracts.Env) (*numbers, error) {
	g, err := openGateway(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return &numbers{g}, nil
}

func (n *numbers) bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(tax.OpVAT, n.CheckVAT)}
}

// CheckVAT says what a partita IVA stands for.
func (n *numbers) CheckVAT(ctx context.Context, _ tax.VATQuery) (tax.VAT, error) {
	return tax.VAT{}, n.wire.Fail(ctx, contracts.Errorf(contracts.Internal, "not spoken yet"))
}
