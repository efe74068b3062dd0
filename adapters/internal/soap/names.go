package soap

// Namespaces of the wire.
const (
	// NSEnvelope is SOAP 1.1's.
	NSEnvelope = "http://schemas.xmlsoap.org/soap/envelope/"
	// NSSecurity is WS-Security's (wsse).
	NSSecurity = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	// NSUtility is that of wsu:Id and wsu:Timestamp.
	NSUtility = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	// NSSignature is XML Signature's (ds).
	NSSignature = "http://www.w3.org/2000/09/xmldsig#"
	// NSAddressing is WS-Addressing 1.0's.
	NSAddressing = "http://www.w3.org/2005/08/addressing"

	nsEnvelope12 = "http://www.w3.org/2003/05/soap-envelope"
	nsProblem    = "urn:ietf:rfc:7807"
	nsInstance   = "http://www.w3.org/2001/XMLSchema-instance"
	nsXML        = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS      = "http://www.w3.org/2000/xmlns/"
	actorNext    = "http://schemas.xmlsoap.org/soap/actor/next"
)

// A rule is a rule that a reply breaks, in our words: nothing of the reply is in it.
type rule string

func (r rule) Error() string { return string(r) }

const (
	errAnswer = rule("the reply's Body holds another element than the operation's answer")
	errTypes  = rule("the answer does not have the types of the contract, or is not well-formed")
)
