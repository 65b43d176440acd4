"""What the operator offers. Siblings never import each other; `node` introduces them to one another."""
