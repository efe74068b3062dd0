// Package redditi is the messages of the income service, as gowsdl makes them from the description beside it.
//
// Basis: modelled. The agency publishes no contract of such a service; the description here, which our mock of it follows
// too, has the conventions of its check of representatives (codiceRitorno and dettaglioEsito, an assertion in the header)
// and ModI's non-blocking pattern with pull: asked for under a name of ours, fetched with a protocollo of theirs.
package redditi

//go:generate go tool gowsdl -d .. -p redditi -o redditi_gen.go redditi.wsdl
//go:generate go run raccordo/adapters/internal/soap/fixup redditi_gen.go redditi.wsdl redditi.xsd
