package syntax

// Role is what a node is, in terms that all the languages share.
type Role uint8

// The roles. A node that is none of these has NoRole.
const (
	NoRole Role = iota
	Function
	Class
	Block
	Parameters
	Call // also the making of an object and the use of a macro
	Arguments
	Member    // a.b
	Subscript // a[b]
	Assignment
	Declarator // a variable with its first value
	If
	Else
	Ternary
	Loop
	Switch
	Case
	Return
	Throw
	Jump // break, continue, goto
	Try
	Catch
	Finally
	Binary
	Unary
	Parenthesized
	Identifier
	String
	Template // a string with expressions in it
	Number
	Regex
	Literal // true, false, null
	Object
	Pair
	Array
	Comment
	Import
	Statement // an expression that is a statement
	roles
)

var kindsOf = [roles][]string{
	Function: {"function_declaration", "function_expression", "arrow_function", "method_definition", "generator_function",
		"generator_function_declaration", "function_definition", "lambda", "func_literal", "method_declaration", "constructor_declaration",
		"compact_constructor_declaration", "lambda_expression", "function_item", "closure_expression", "anonymous_function", "function"},
	Class: {"class_declaration", "class", "class_definition", "class_specifier", "struct_specifier", "impl_item", "trait_item", "trait_declaration",
		"interface_declaration", "abstract_class_declaration", "enum_declaration", "record_declaration", "struct_item"},
	Block:      {"statement_block", "block", "compound_statement", "constructor_body", "switch_body", "class_body", "declaration_list", "match_block"},
	Parameters: {"formal_parameters", "parameters", "parameter_list", "lambda_parameters", "inferred_parameters", "closure_parameters"},
	Call: {"call_expression", "new_expression", "call", "method_invocation", "object_creation_expression", "explicit_constructor_invocation",
		"function_call_expression", "member_call_expression", "nullsafe_member_call_expression", "scoped_call_expression", "macro_invocation",
		"include_expression", "include_once_expression", "require_expression", "require_once_expression", "shell_command_expression",
		"print_intrinsic", "exit_statement", "echo_statement", "type_conversion_expression", "print_statement", "exec_statement"},
	Arguments: {"arguments", "argument_list", "token_tree"},
	Member: {"member_expression", "attribute", "selector_expression", "field_access", "field_expression", "member_access_expression",
		"nullsafe_member_access_expression", "scoped_property_access_expression", "class_constant_access_expression", "qualified_identifier",
		"scoped_identifier"},
	Subscript: {"subscript_expression", "subscript", "index_expression", "array_access", "slice_expression"},
	Assignment: {"assignment_expression", "augmented_assignment_expression", "assignment", "augmented_assignment", "assignment_statement",
		"compound_assignment_expr", "reference_assignment_expression", "named_expression"},
	Declarator: {"variable_declarator", "short_var_declaration", "var_spec", "const_spec", "init_declarator", "let_declaration", "field_definition",
		"public_field_definition", "const_item", "static_item", "property_element"},
	If:            {"if_statement", "if_expression", "elif_clause", "else_if_clause", "preproc_if", "preproc_ifdef"},
	Else:          {"else_clause"},
	Ternary:       {"ternary_expression", "conditional_expression"},
	Loop:          {"for_statement", "while_statement", "do_statement", "for_in_statement", "enhanced_for_statement", "foreach_statement", "for_expression", "while_expression", "loop_expression", "for_range_loop"},
	Switch:        {"switch_statement", "switch_expression", "match_statement", "match_expression", "expression_switch_statement", "type_switch_statement", "select_statement"},
	Case:          {"switch_case", "switch_default", "case_statement", "default_statement", "expression_case", "default_case", "type_case", "communication_case", "case_clause", "match_arm", "switch_rule", "switch_block_statement_group", "match_conditional_expression", "match_default_expression"},
	Return:        {"return_statement", "return_expression", "co_return_statement"},
	Throw:         {"throw_statement", "raise_statement", "throw_expression"},
	Jump:          {"break_statement", "continue_statement", "goto_statement", "break_expression", "continue_expression"},
	Try:           {"try_statement", "try_with_resources_statement", "seh_try_statement"},
	Catch:         {"catch_clause", "except_clause", "except_group_clause", "seh_except_clause"},
	Finally:       {"finally_clause", "seh_finally_clause"},
	Binary:        {"binary_expression", "binary_operator", "boolean_operator", "comparison_operator", "instanceof_expression"},
	Unary:         {"unary_expression", "not_operator", "unary_operator", "unary_op_expression", "pointer_expression", "try_expression"},
	Parenthesized: {"parenthesized_expression", "condition_clause"},
	Identifier: {"identifier", "property_identifier", "private_property_identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern",
		"field_identifier", "type_identifier", "package_identifier", "namespace_identifier", "statement_identifier", "name", "variable_name", "this", "self",
		"super", "dynamic_variable_name", "blank_identifier", "shorthand_field_identifier", "primitive_type", "predefined_type", "relative_scope"},
	String: {"string", "string_literal", "interpreted_string_literal", "raw_string_literal", "char_literal", "character_literal", "concatenated_string",
		"rune_literal", "nowdoc", "system_lib_string"},
	Template: {"template_string", "encapsed_string", "heredoc", "template_expression"},
	Number: {"number", "integer", "float", "int_literal", "float_literal", "imaginary_literal", "decimal_integer_literal", "hex_integer_literal",
		"octal_integer_literal", "binary_integer_literal", "decimal_floating_point_literal", "hex_floating_point_literal", "number_literal", "integer_literal"},
	Regex:   {"regex"},
	Literal: {"true", "false", "null", "undefined", "none", "nil", "null_literal", "boolean", "boolean_literal", "iota"},
	Object:  {"object", "dictionary", "composite_literal", "struct_expression", "dictionary_comprehension"},
	Pair:    {"pair", "keyed_element", "field_initializer", "array_element_initializer", "keyword_argument"},
	Array:   {"array", "list", "array_creation_expression", "array_initializer", "initializer_list", "array_expression", "set", "tuple"},
	Comment: {"comment", "line_comment", "block_comment", "html_comment", "hash_bang_line"},
	Import: {"import_statement", "import_from_statement", "future_import_statement", "import_declaration", "preproc_include", "namespace_use_declaration",
		"use_declaration", "using_declaration", "package_declaration", "package_clause"},
	Statement: {"expression_statement"},
}

// roleOf is kindsOf turned round.
var roleOf = func() map[string]Role {
	out := map[string]Role{}
	for role, kinds := range kindsOf {
		for _, kind := range kinds {
			out[kind] = Role(role)
		}
	}
	return out
}()

// Field says which part of its parent a node is. A field that none of these names is NoField.
type Field uint16

// The fields. Grammars differ in some: the object of a member access is FieldObject, FieldOperand, FieldArgument or
// FieldValue.
const (
	NoField Field = iota
	FieldName
	FieldBody
	FieldCondition
	FieldConsequence
	FieldAlternative
	FieldFunction
	FieldConstructor
	FieldArguments
	FieldLeft
	FieldRight
	FieldOperator
	FieldObject
	FieldOperand
	FieldArgument
	FieldValue
	FieldProperty
	FieldParameters
	FieldIndex
	FieldKey
	FieldDeclarator
	FieldHandler
	FieldFinalizer
	FieldType
	FieldPattern
	FieldMacro
	FieldFlags
	FieldSource
)

var fieldOf = map[string]Field{
	"name": FieldName, "body": FieldBody, "condition": FieldCondition, "consequence": FieldConsequence, "alternative": FieldAlternative,
	"function": FieldFunction, "constructor": FieldConstructor, "arguments": FieldArguments, "left": FieldLeft, "right": FieldRight,
	"operator": FieldOperator, "operators": FieldOperator, "object": FieldObject, "operand": FieldOperand, "argument": FieldArgument,
	"value": FieldValue, "property": FieldProperty, "attribute": FieldProperty, "field": FieldProperty, "parameters": FieldParameters,
	"parameter": FieldParameters, "index": FieldIndex, "indices": FieldIndex, "subscript": FieldIndex, "key": FieldKey,
	"declarator": FieldDeclarator, "handler": FieldHandler, "finalizer": FieldFinalizer, "type": FieldType, "pattern": FieldPattern,
	"macro": FieldMacro, "flags": FieldFlags, "source": FieldSource, "scope": FieldObject,
}
