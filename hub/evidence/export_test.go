package evidence

// Marshal is how a manifest is written.
var Marshal = marshal
