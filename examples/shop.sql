-- A shop of our own invention: 13 tables and a view, for trying out `lightapi serve` and LightApi.from_database.
-- The same statements load in SQLite (sqlite3 shop.db < shop.sql) and in PostgreSQL (psql -f shop.sql).

CREATE TABLE regions (
    id INTEGER PRIMARY KEY,
    name VARCHAR(40) NOT NULL UNIQUE
);

CREATE TABLE territories (
    code VARCHAR(8) PRIMARY KEY,
    name VARCHAR(60) NOT NULL,
    region_id INTEGER NOT NULL REFERENCES regions (id)
);

CREATE TABLE employees (
    id INTEGER PRIMARY KEY,
    first_name VARCHAR(40) NOT NULL,
    last_name VARCHAR(40) NOT NULL,
    title VARCHAR(60),
    birth_date DATE,
    hired_on DATE NOT NULL,
    reports_to INTEGER REFERENCES employees (id),
    notes TEXT
);

CREATE TABLE employee_territories (
    employee_id INTEGER NOT NULL REFERENCES employees (id),
    territory_code VARCHAR(8) NOT NULL REFERENCES territories (code),
    PRIMARY KEY (employee_id, territory_code)
);

CREATE TABLE customers (
    code VARCHAR(5) PRIMARY KEY,
    company VARCHAR(80) NOT NULL,
    contact VARCHAR(60),
    city VARCHAR(60),
    country VARCHAR(40) NOT NULL,
    phone VARCHAR(30),
    is_active BOOLEAN NOT NULL DEFAULT TRUE
);

CREATE TABLE suppliers (
    id INTEGER PRIMARY KEY,
    company VARCHAR(80) NOT NULL,
    city VARCHAR(60),
    country VARCHAR(40) NOT NULL,
    homepage TEXT
);

CREATE TABLE categories (
    id INTEGER PRIMARY KEY,
    name VARCHAR(40) NOT NULL UNIQUE,
    description TEXT
);

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    supplier_id INTEGER REFERENCES suppliers (id),
    category_id INTEGER REFERENCES categories (id),
    unit VARCHAR(40),
    price NUMERIC(10, 2) NOT NULL CHECK (price >= 0),
    in_stock SMALLINT NOT NULL DEFAULT 0,
    discontinued BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX products_by_category ON products (category_id);

CREATE TABLE shippers (
    id INTEGER PRIMARY KEY,
    company VARCHAR(80) NOT NULL,
    phone VARCHAR(30)
);

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_code VARCHAR(5) NOT NULL REFERENCES customers (code),
    employee_id INTEGER REFERENCES employees (id),
    shipper_id INTEGER REFERENCES shippers (id),
    ordered_on DATE NOT NULL,
    required_on DATE,
    shipped_at TIMESTAMP,
    freight NUMERIC(10, 2) NOT NULL DEFAULT 0,
    ship_to VARCHAR(120)
);

CREATE INDEX orders_by_customer ON orders (customer_code);

CREATE TABLE order_details (
    order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id INTEGER NOT NULL REFERENCES products (id),
    price NUMERIC(10, 2) NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    discount NUMERIC(4, 3) NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    amount NUMERIC(10, 2) NOT NULL,
    paid_at TIMESTAMP NOT NULL,
    method VARCHAR(20) NOT NULL
);

CREATE TABLE reviews (
    product_id INTEGER NOT NULL REFERENCES products (id),
    customer_code VARCHAR(5) NOT NULL REFERENCES customers (code),
    stars SMALLINT NOT NULL CHECK (stars BETWEEN 1 AND 5),
    body TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (product_id, customer_code)
);

CREATE VIEW order_totals AS
SELECT orders.id AS order_id, orders.customer_code, orders.ordered_on,
    SUM(order_details.price * order_details.quantity * (1 - order_details.discount)) AS total
FROM orders JOIN order_details ON order_details.order_id = orders.id
GROUP BY orders.id, orders.customer_code, orders.ordered_on;

INSERT INTO regions (id, name) VALUES
    (1, 'North'),
    (2, 'South'),
    (3, 'Coast');

INSERT INTO territories (code, name, region_id) VALUES
    ('N-01', 'Harbour Hill', 1),
    ('N-02', 'Upper Fen', 1),
    ('S-01', 'Vinery', 2),
    ('S-02', 'Long Meadow', 2),
    ('C-01', 'Old Docks', 3),
    ('C-02', 'Lighthouse Point', 3);

INSERT INTO employees (id, first_name, last_name, title, birth_date, hired_on, reports_to, notes) VALUES
    (1, 'Mara', 'Lindqvist', 'Managing director', '1968-04-02', '2009-01-05', NULL, 'Founded the shop.'),
    (2, 'Tomas', 'Okafor', 'Head of sales', '1975-11-19', '2011-03-01', 1, NULL),
    (3, 'Aiko', 'Brandt', 'Sales', '1989-07-30', '2016-09-12', 2, NULL),
    (4, 'Ines', 'Carvalho', 'Sales', '1992-02-29', '2018-04-16', 2, 'Speaks four languages.'),
    (5, 'Piotr', 'O''Neill', 'Warehouse', NULL, '2013-06-24', 1, NULL),
    (6, 'Leila', 'Haddad', 'Sales', '1996-12-08', '2021-10-04', 2, NULL),
    (7, 'Jonas', 'Møller', NULL, '2001-05-17', '2024-02-01', 5, 'Works in the evenings.');

INSERT INTO employee_territories (employee_id, territory_code) VALUES
    (2, 'N-01'),
    (3, 'N-01'),
    (3, 'N-02'),
    (4, 'S-01'),
    (4, 'S-02'),
    (6, 'C-01'),
    (6, 'C-02');

INSERT INTO customers (code, company, contact, city, country, phone, is_active) VALUES
    ('ALDER', 'Alder & Sons', 'Ruth Alder', 'Fenwick', 'Norland', '+99 1 555 01', TRUE),
    ('BLUME', 'Café Blume', 'Otto Blume', 'Seefeld', 'Ostmark', '+99 2 555 14', TRUE),
    ('CORVO', 'Corvo Lda.', NULL, 'Portela', 'Costa', '+99 3 555 27', TRUE),
    ('DELTA', 'Delta Provisions', 'Sam Ito', NULL, 'Norland', NULL, TRUE),
    ('ESKER', 'Esker Deli', 'Nuala Byrne', 'Ballymore', 'Eirin', '+99 4 555 33', TRUE),
    ('FJORD', 'Fjord Mat', 'Siri Dahl', 'Vik', 'Norland', '+99 1 555 48', TRUE),
    ('GUSTO', 'Il Gusto', 'Paola Neri', 'Marina', 'Costa', '+99 3 555 59', FALSE),
    ('HAZEL', 'Hazel''s Pantry', 'Hazel Quinn', 'Fenwick', 'Norland', NULL, TRUE),
    ('IBIS', 'Ibis Imports', 'Karim Said', 'Portela', 'Costa', '+99 3 555 61', TRUE),
    ('JUNO', 'Juno Catering', 'Maja Kral', 'Seefeld', 'Ostmark', '+99 2 555 70', TRUE);

INSERT INTO suppliers (id, company, city, country, homepage) VALUES
    (1, 'Fen Dairy', 'Fenwick', 'Norland', 'https://fendairy.example'),
    (2, 'Costa Oils', 'Marina', 'Costa', NULL),
    (3, 'Mill on the Hill', 'Seefeld', 'Ostmark', NULL),
    (4, 'Salt & Smoke', 'Vik', 'Norland', 'https://saltsmoke.example'),
    (5, 'Grove Teas', NULL, 'Eirin', NULL);

INSERT INTO categories (id, name, description) VALUES
    (1, 'Drinks', 'Teas, coffees and juices'),
    (2, 'Dairy', 'Cheese and butter'),
    (3, 'Bakery', NULL),
    (4, 'Fish', 'Smoked, salted and tinned'),
    (5, 'Pantry', 'Oils, honey, spices');

INSERT INTO products (id, name, supplier_id, category_id, unit, price, in_stock, discontinued) VALUES
    (1, 'Breakfast tea', 5, 1, '20 bags', 4.50, 115, FALSE),
    (2, 'Smoked oolong', 5, 1, '100 g tin', 11.90, 92, FALSE),
    (3, 'Apple juice', NULL, 1, '6 bottles', 13.20, 87, TRUE),
    (4, 'Cellar coffee', 2, 1, '500 g bag', 9.75, 100, FALSE),
    (5, 'Fen blue', 1, 2, '1 kg wheel', 21.00, 98, FALSE),
    (6, 'Salted butter', 1, 2, '250 g', 3.40, 112, FALSE),
    (7, 'Goat''s curd', 1, 2, '200 g', 4.95, 115, FALSE),
    (8, 'Rye loaf', 3, 3, '800 g', 3.80, 19, FALSE),
    (9, 'Poppy roll', 3, 3, '4 pieces', 2.60, 33, FALSE),
    (10, 'Oat biscuits', 3, 3, '12 pieces', 3.25, 86, FALSE),
    (11, 'Smoked trout', 4, 4, '2 fillets', 8.90, 81, FALSE),
    (12, 'Pickled herring', 4, 4, '400 g jar', 6.30, 108, FALSE),
    (13, 'Cod roe', 4, 4, '100 g tube', 5.15, 115, TRUE),
    (14, 'Olive oil', 2, 5, '1 l tin', 14.80, 12, FALSE),
    (15, 'Lemon oil', 2, 5, '250 ml', 9.20, 111, FALSE),
    (16, 'Heather honey', NULL, 5, '350 g jar', 7.60, 41, FALSE),
    (17, 'Sea salt', 4, 5, '1 kg', 2.95, 73, FALSE),
    (18, 'Paprika, sweet', 2, 5, '80 g tin', 3.10, 115, FALSE);

INSERT INTO shippers (id, company, phone) VALUES
    (1, 'Quick Cart', '+99 1 555 90'),
    (2, 'Harbour Freight Co.', '+99 1 555 91'),
    (3, 'Bicycle Post', NULL);

INSERT INTO orders (id, customer_code, employee_id, shipper_id, ordered_on, required_on, shipped_at, freight, ship_to) VALUES
    (1, 'ALDER', 2, 1, '2025-01-09', '2025-01-23', '2025-01-10 14:45:00', 26.14, 'Kitchen entrance'),
    (2, 'DELTA', 2, 1, '2025-01-14', '2025-01-28', '2025-01-15 08:15:00', 20.76, NULL),
    (3, 'ALDER', 3, 3, '2025-01-16', '2025-01-30', '2025-01-19 08:30:00', 27.51, NULL),
    (4, 'JUNO', 3, 1, '2025-01-17', '2025-01-31', '2025-01-21 08:15:00', 6.63, 'Back door'),
    (5, 'FJORD', 2, 1, '2025-01-22', NULL, '2025-01-27 08:00:00', 27.26, 'Kitchen entrance'),
    (6, 'IBIS', 2, 3, '2025-01-24', '2025-02-07', '2025-01-26 16:00:00', 43.19, 'Back door'),
    (7, 'CORVO', 2, 2, '2025-01-27', '2025-02-10', '2025-01-29 16:45:00', 39.92, 'Back door'),
    (8, 'JUNO', 2, 2, '2025-01-30', '2025-02-13', '2025-01-31 12:15:00', 5.06, 'Kitchen entrance'),
    (9, 'JUNO', 4, 2, '2025-02-04', '2025-02-18', '2025-02-06 13:00:00', 8.18, 'Back door'),
    (10, 'JUNO', 6, 1, '2025-02-10', NULL, '2025-02-13 09:30:00', 11.28, NULL),
    (11, 'GUSTO', 3, 1, '2025-02-13', '2025-02-27', '2025-02-16 11:00:00', 30.09, 'Back door'),
    (12, 'ALDER', NULL, 1, '2025-02-19', '2025-03-05', '2025-02-22 10:30:00', 1.54, 'Back door'),
    (13, 'JUNO', 4, 3, '2025-02-22', '2025-03-08', '2025-02-25 09:45:00', 10.29, 'Kitchen entrance'),
    (14, 'IBIS', NULL, 1, '2025-02-28', '2025-03-14', '2025-03-01 09:30:00', 30.34, 'Kitchen entrance'),
    (15, 'CORVO', 2, 1, '2025-03-02', NULL, '2025-03-07 12:00:00', 27.82, 'Kitchen entrance'),
    (16, 'HAZEL', 6, 2, '2025-03-03', '2025-03-17', '2025-03-07 08:00:00', 41.65, NULL),
    (17, 'CORVO', 6, 1, '2025-03-07', '2025-03-21', '2025-03-12 15:45:00', 14.60, 'Back door'),
    (18, 'IBIS', 4, 1, '2025-03-13', '2025-03-27', '2025-03-15 09:15:00', 41.50, 'Kitchen entrance'),
    (19, 'ESKER', 2, 1, '2025-03-15', '2025-03-29', '2025-03-20 16:15:00', 41.30, NULL),
    (20, 'DELTA', 6, 3, '2025-03-20', NULL, '2025-03-24 17:45:00', 3.55, NULL),
    (21, 'DELTA', NULL, 3, '2025-03-23', '2025-04-06', '2025-03-28 09:00:00', 36.50, 'Kitchen entrance'),
    (22, 'FJORD', 6, 3, '2025-03-26', '2025-04-09', '2025-03-31 12:30:00', 5.16, NULL),
    (23, 'JUNO', NULL, 2, '2025-03-27', '2025-04-10', '2025-04-01 11:45:00', 7.64, 'Kitchen entrance'),
    (24, 'DELTA', 2, 1, '2025-04-02', '2025-04-16', '2025-04-05 10:15:00', 4.27, 'Back door'),
    (25, 'HAZEL', NULL, 2, '2025-04-07', NULL, '2025-04-09 10:15:00', 10.35, 'Back door'),
    (26, 'FJORD', 4, 3, '2025-04-12', '2025-04-26', '2025-04-13 12:30:00', 2.16, 'Kitchen entrance'),
    (27, 'ALDER', NULL, 2, '2025-04-13', '2025-04-27', '2025-04-14 08:00:00', 34.49, 'Kitchen entrance'),
    (28, 'ALDER', 6, 1, '2025-04-14', '2025-04-28', '2025-04-18 13:00:00', 27.34, NULL),
    (29, 'ALDER', 3, 2, '2025-04-19', '2025-05-03', '2025-04-23 17:15:00', 30.45, NULL),
    (30, 'HAZEL', 2, 3, '2025-04-24', NULL, '2025-04-25 15:45:00', 37.83, 'Back door'),
    (31, 'DELTA', 3, 2, '2025-04-26', '2025-05-10', '2025-04-27 11:30:00', 37.36, NULL),
    (32, 'JUNO', 3, 2, '2025-05-01', '2025-05-15', '2025-05-02 17:15:00', 14.71, NULL),
    (33, 'HAZEL', 2, 2, '2025-05-05', '2025-05-19', '2025-05-07 16:30:00', 20.43, 'Kitchen entrance'),
    (34, 'HAZEL', 6, 3, '2025-05-09', '2025-05-23', '2025-05-11 18:30:00', 43.97, 'Kitchen entrance'),
    (35, 'IBIS', 2, NULL, '2025-05-14', NULL, NULL, 39.56, NULL),
    (36, 'GUSTO', NULL, NULL, '2025-05-16', '2025-05-30', NULL, 2.39, NULL),
    (37, 'IBIS', NULL, NULL, '2025-05-19', '2025-06-02', NULL, 0.90, NULL),
    (38, 'BLUME', NULL, NULL, '2025-05-20', '2025-06-03', NULL, 32.43, 'Kitchen entrance'),
    (39, 'DELTA', 2, NULL, '2025-05-26', '2025-06-09', NULL, 1.93, 'Back door'),
    (40, 'DELTA', 3, NULL, '2025-05-30', NULL, NULL, 32.28, 'Back door');

INSERT INTO order_details (order_id, product_id, price, quantity, discount) VALUES
    (1, 6, 3.40, 21, 0.000),
    (1, 7, 4.95, 11, 0.050),
    (1, 14, 14.80, 3, 0.100),
    (1, 17, 2.95, 16, 0.050),
    (2, 6, 3.40, 20, 0.000),
    (2, 9, 2.60, 1, 0.000),
    (2, 10, 3.25, 23, 0.000),
    (3, 3, 13.20, 6, 0.050),
    (3, 5, 21.00, 23, 0.000),
    (3, 9, 2.60, 23, 0.000),
    (3, 14, 14.80, 19, 0.050),
    (4, 1, 4.50, 15, 0.100),
    (4, 11, 8.90, 24, 0.000),
    (4, 13, 5.15, 22, 0.000),
    (5, 10, 3.25, 22, 0.000),
    (6, 5, 21.00, 4, 0.050),
    (6, 9, 2.60, 4, 0.000),
    (6, 14, 14.80, 8, 0.000),
    (7, 7, 4.95, 13, 0.000),
    (7, 10, 3.25, 10, 0.000),
    (8, 10, 3.25, 4, 0.000),
    (8, 13, 5.15, 19, 0.050),
    (8, 15, 9.20, 7, 0.000),
    (9, 7, 4.95, 24, 0.000),
    (10, 5, 21.00, 1, 0.050),
    (10, 13, 5.15, 3, 0.100),
    (10, 17, 2.95, 16, 0.000),
    (10, 18, 3.10, 8, 0.000),
    (11, 16, 7.60, 8, 0.100),
    (12, 8, 3.80, 13, 0.050),
    (12, 15, 9.20, 23, 0.100),
    (12, 17, 2.95, 23, 0.000),
    (12, 18, 3.10, 17, 0.100),
    (13, 5, 21.00, 12, 0.000),
    (13, 16, 7.60, 21, 0.100),
    (14, 17, 2.95, 23, 0.000),
    (14, 18, 3.10, 16, 0.000),
    (15, 3, 13.20, 5, 0.000),
    (15, 11, 8.90, 9, 0.000),
    (16, 5, 21.00, 23, 0.000),
    (17, 4, 9.75, 7, 0.050),
    (17, 10, 3.25, 13, 0.050),
    (18, 4, 9.75, 8, 0.000),
    (18, 9, 2.60, 18, 0.100),
    (18, 12, 6.30, 12, 0.000),
    (18, 16, 7.60, 5, 0.000),
    (19, 4, 9.75, 9, 0.050),
    (20, 4, 9.75, 16, 0.100),
    (20, 6, 3.40, 19, 0.000),
    (21, 2, 11.90, 15, 0.000),
    (21, 6, 3.40, 17, 0.000),
    (21, 8, 3.80, 10, 0.000),
    (22, 1, 4.50, 6, 0.000),
    (22, 2, 11.90, 21, 0.000),
    (22, 6, 3.40, 24, 0.050),
    (23, 2, 11.90, 15, 0.000),
    (23, 10, 3.25, 5, 0.100),
    (23, 11, 8.90, 21, 0.000),
    (23, 17, 2.95, 24, 0.000),
    (24, 9, 2.60, 11, 0.100),
    (24, 10, 3.25, 18, 0.000),
    (24, 13, 5.15, 11, 0.000),
    (24, 17, 2.95, 1, 0.000),
    (25, 4, 9.75, 15, 0.000),
    (25, 6, 3.40, 3, 0.000),
    (25, 10, 3.25, 5, 0.000),
    (26, 11, 8.90, 10, 0.050),
    (27, 3, 13.20, 23, 0.000),
    (27, 9, 2.60, 1, 0.050),
    (27, 14, 14.80, 1, 0.000),
    (27, 16, 7.60, 24, 0.000),
    (28, 1, 4.50, 22, 0.000),
    (29, 17, 2.95, 4, 0.000),
    (30, 6, 3.40, 20, 0.000),
    (30, 17, 2.95, 18, 0.100),
    (31, 1, 4.50, 10, 0.100),
    (31, 15, 9.20, 4, 0.000),
    (31, 16, 7.60, 24, 0.000),
    (32, 17, 2.95, 1, 0.000),
    (33, 8, 3.80, 16, 0.050),
    (33, 10, 3.25, 22, 0.000),
    (33, 12, 6.30, 7, 0.000),
    (34, 1, 4.50, 5, 0.050),
    (35, 1, 4.50, 2, 0.000),
    (35, 4, 9.75, 4, 0.000),
    (35, 15, 9.20, 5, 0.000),
    (36, 7, 4.95, 11, 0.000),
    (36, 9, 2.60, 23, 0.000),
    (36, 17, 2.95, 14, 0.000),
    (37, 11, 8.90, 14, 0.000),
    (37, 15, 9.20, 24, 0.000),
    (38, 5, 21.00, 3, 0.000),
    (38, 9, 2.60, 2, 0.000),
    (39, 11, 8.90, 8, 0.000),
    (40, 2, 11.90, 13, 0.000),
    (40, 6, 3.40, 14, 0.050),
    (40, 7, 4.95, 14, 0.050),
    (40, 9, 2.60, 18, 0.000);

INSERT INTO payments (id, order_id, amount, paid_at, method) VALUES
    (1, 1, 207.93, '2025-01-12 14:45:00', 'card'),
    (2, 2, 145.35, '2025-01-22 08:15:00', 'cash'),
    (3, 3, 885.18, '2025-01-30 08:30:00', 'card'),
    (4, 4, 387.65, '2025-01-24 08:15:00', 'transfer'),
    (5, 5, 71.50, '2025-01-27 08:00:00', 'card'),
    (6, 6, 208.60, '2025-02-02 16:00:00', 'card'),
    (7, 8, 170.36, '2025-02-16 12:15:00', 'card'),
    (8, 9, 118.80, '2025-02-25 13:00:00', 'transfer'),
    (9, 10, 105.86, '2025-02-22 09:30:00', 'transfer'),
    (10, 11, 54.72, '2025-02-20 11:00:00', 'transfer'),
    (11, 12, 352.65, '2025-03-14 10:30:00', 'cash'),
    (12, 13, 395.64, '2025-03-01 09:45:00', 'cash'),
    (13, 15, 146.10, '2025-03-11 12:00:00', 'transfer'),
    (14, 16, 483.00, '2025-03-23 08:00:00', 'cash'),
    (15, 17, 104.97, '2025-03-14 15:45:00', 'transfer'),
    (16, 18, 233.72, '2025-03-25 09:15:00', 'transfer'),
    (17, 19, 83.36, '2025-04-07 16:15:00', 'card'),
    (18, 20, 205.00, '2025-03-29 17:45:00', 'card'),
    (19, 22, 354.42, '2025-04-13 12:30:00', 'card'),
    (20, 23, 450.82, '2025-04-12 11:45:00', 'card'),
    (21, 24, 143.84, '2025-04-21 10:15:00', 'cash'),
    (22, 25, 172.70, '2025-04-28 10:15:00', 'card'),
    (23, 26, 84.55, '2025-04-27 12:30:00', 'transfer'),
    (24, 27, 503.27, '2025-04-30 08:00:00', 'cash'),
    (25, 29, 11.80, '2025-04-30 17:15:00', 'transfer'),
    (26, 30, 115.79, '2025-05-14 15:45:00', 'cash'),
    (27, 31, 259.70, '2025-05-06 11:30:00', 'card'),
    (28, 32, 2.95, '2025-05-08 17:15:00', 'card'),
    (29, 33, 173.36, '2025-05-13 16:30:00', 'cash'),
    (30, 34, 21.38, '2025-05-17 18:30:00', 'cash');

INSERT INTO reviews (product_id, customer_code, stars, body) VALUES
    (1, 'DELTA', 3, 'Our guests ask for it.'),
    (1, 'IBIS', 5, NULL),
    (2, 'FJORD', 2, 'Would buy again, fast delivery'),
    (3, 'IBIS', 5, NULL),
    (4, 'IBIS', 2, 'Our guests ask for it.'),
    (6, 'GUSTO', 4, 'Keeps for weeks.'),
    (7, 'BLUME', 2, 'Would buy again, fast delivery'),
    (7, 'CORVO', 4, NULL),
    (7, 'GUSTO', 3, 'Keeps for weeks.'),
    (8, 'CORVO', 2, NULL),
    (8, 'FJORD', 3, 'Keeps for weeks.'),
    (8, 'JUNO', 2, NULL),
    (9, 'ESKER', 3, 'Smaller than I thought'),
    (10, 'ALDER', 5, 'Our guests ask for it.'),
    (10, 'BLUME', 4, NULL),
    (11, 'ALDER', 5, 'Too salty for us.'),
    (11, 'BLUME', 3, NULL),
    (15, 'GUSTO', 2, NULL),
    (15, 'JUNO', 2, 'Would buy again, fast delivery'),
    (16, 'JUNO', 4, 'Our guests ask for it.'),
    (17, 'DELTA', 5, 'Smaller than I thought'),
    (17, 'GUSTO', 2, 'Smaller than I thought'),
    (17, 'JUNO', 4, 'Too salty for us.'),
    (18, 'BLUME', 5, 'Keeps for weeks.');
