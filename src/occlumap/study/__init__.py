"""The user study: a web platform that loses nothing (extra `study`). People in, records out; knows no classifier."""
