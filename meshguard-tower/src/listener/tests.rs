mod bounds;
mod gate;
mod handshake;
mod live;
