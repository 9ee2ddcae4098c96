"""The parts of `ponte.scan`: each looks at one side of an instance while its bytes go by."""
