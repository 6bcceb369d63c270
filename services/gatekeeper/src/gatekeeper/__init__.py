"""ModelRegistered in; GatePassed, GateFailed and Promoted out. Owns every decision."""
