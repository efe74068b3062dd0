// Package wspa plays the door of InfoCamere's gateway for public administrations: the login by signed assertion with the
// client's certificate, the token that every call then bears, the bodies of errors. Behind the one gateway stand several
// registers; each of their mocks embeds a Gate and serves it on a listener of its own. Client, certificate and signing
// key are the same at all of them, as an administration has one agreement with InfoCamere.
//
// Basis: InfoCamere's WSPA manual, version 6 (26 December 2022), and its OpenAPI file of the authentication; a public
// client in production for both styles of 401 and for what media types the login takes.
//
// What the gate refuses. At login, always with 401 and the true reason in the journal and X-Lab-Reason: another
// client_id, a body that is not one compact JWS, typ, alg, use or x5c not as demanded, a certificate that is not the
// registered one, a signature that does not verify, aud, iss or sub not as demanded, a jti used before, an exp past or
// more than 10 minutes ahead, no scope or one that the client has not. Afterwards: another client_id, no token, one of
// another signer, expired or without the scope of the service (401).
//
// Known gaps: the life of a token is assumed, 10 minutes. aud may name the mock's own base or the official one of the
// test environment. The gateway is assumed to demand client_id of every service, also where a file leaves it out. A jti
// is remembered per listener, not across them.
package wspa
