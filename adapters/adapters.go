// Package adapters is the explicit list of the suppliers that the hub can speak with: one line each, no registration.
package adapters

import (
	"raccordo/adapters/entrate"
	"raccordo/adapters/inad"
	"raccordo/adapters/inipec"
	"raccordo/adapters/pec"
	"raccordo/adapters/registroimprese"
	"raccordo/contracts"
)

// Kinds lists the adapters by the name that stands in the configuration's "kind".
func Kinds() contracts.Kinds {
	return contracts.Kinds{
		"entrate":         entrate.Default,
		"inad":            inad.Default,
		"inipec":          inipec.Default,
		"pec":             pec.Default,
		"registroimprese": registroimprese.Default,
	}
}
