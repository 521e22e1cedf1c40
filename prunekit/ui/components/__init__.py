"""Parts that several pages show: headings, charts with captions, controls of a setting, tables of layers."""
