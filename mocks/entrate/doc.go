// Package entrate plays the Agenzia delle Entrate as far as an employer's checks go: the check of a codice fiscale and
// the check of a partita IVA (REST, behind a PDND voucher and a GovWay gateway), the check of a body's legal
// representative (SOAP 1.1, a signed SAML 2.0 assertion, mutual TLS), and the income of a tax year (modelled: SOAP 1.1
// with the conventions of the former, asked for now and fetched minutes or days later).
//
// Basis: the agency's public OpenAPI contract of the fiscal-code check; its VAT check v3 as the replica in PDND's
// attestation environment publishes it; the public WSDL and XSD of the representative's check, with what a public client
// in production and the agency's technical annexes say of its security header and codes; GovWay's documentation and
// error catalogue for the gateway. The income service has no public contract: its WSDL and XSD are ours, modelled.
//
// What the mock refuses, always with the true rule in the journal and in X-Lab-Reason. REST: a voucher that is missing,
// stale or for another audience (401), a purpose not entitled (403), a body that is not the contract's or a code against
// its pattern (400), too many requests, in all or at a time (429). SOAP: no client certificate, or another one than
// agreed (403, a page of HTML); what is no SOAP 1.1 envelope with the one element of a known operation, its children in
// order and in their namespace, or has another SOAPAction, a document type or no wsse:Security with one assertion
// (Fault, Client); an assertion that breaks a rule of the annex, is out of its time on the bench's clock, or whose
// signature is not rsa-sha1 over that very assertion by the registered certificate (codiceRitorno 01, dettaglioEsito
// XX04, or a Fault by switch); codes and names against their patterns (02, XXXX).
//
// Answers are valid by the published files unless a member's story or a switch says otherwise. Their stories are told in
// people.go; Cast brings who is needed for them, each with a full life in the registers of domiciles.
//
// Known gaps: which codiceRitorno comes with XX01 and XX02 is not public: 02, or 00 by switch. Whether the agency looks
// at the check character of a code in a SOAP request is not known: the mock says XX01 of who is unknown to it. How a
// broken assertion is answered, and whether one may be used twice, is assumed: it may, or not by switch. The names of a
// few gateway errors (403, 503, 504) are common knowledge, not read in a source. Incomes are derived from the code and
// mean nothing.
package entrate
