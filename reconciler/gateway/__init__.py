"""What a client calls: ports that stay while the runtimes behind them change."""
