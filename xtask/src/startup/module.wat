;; A program of one module.
(module (func (export "_start")))
