    SELECT m.account_id, string_agg(r.name, ', ' ORDER BY r.name, r.classroom_id) AS classrooms
    FROM PRODUCT.classroom_students m JOIN PRODUCT.classrooms r ON r.classroom_id = m.classroom_id
    WHERE %(is_current)s GROUP BY m.account_id
