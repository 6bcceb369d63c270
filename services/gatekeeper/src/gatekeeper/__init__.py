"""Makes every decision: consumes ModelRegistered; emits GatePassed, GateFailed and Promoted."""
