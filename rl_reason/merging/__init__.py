"""Model merging: recipes in, a model folder out, streamed tensor by tensor in bounded memory. numpy only, no torch."""
