// Package rappresentante is the messages of the agency's check of a body's legal representative, as gowsdl makes them from
// the description beside it.
//
// Basis: the agency's public contract "VerificaRappresentanteEnte" (one WSDL and two XSDs). The description here is our
// own text of its facts, in one WSDL, since gowsdl follows no wsdl:import; a test holds the two against each other.
package rappresentante

//go:generate go tool gowsdl -d .. -p rappresentante -o rappresentante_gen.go rappresentante.wsdl
//go:generate go run raccordo/adapters/internal/soap/fixup rappresentante_gen.go rappresentante.wsdl messaggi.xsd tipi.xsd
