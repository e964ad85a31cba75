"""Weight channels: learner to engines, checked."""
