"""What each kind of stage does: a model folder in, a model folder and a result out."""
