mod bounds;
mod handshake;
mod live;
